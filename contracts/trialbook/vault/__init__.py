"""Personal data that can be erased: facts of a data subject carry it sealed under a key that can be destroyed."""
