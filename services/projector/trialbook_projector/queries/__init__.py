"""How each family of questions is answered from the tables. Every function runs in a reader's thread."""
