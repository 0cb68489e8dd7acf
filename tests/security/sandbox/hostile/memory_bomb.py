"""Takes memory piece by piece, at most 1 GiB."""

held = []
for _ in range(256):
    held.append(bytearray(b"x") * (4 << 20))
print("ESCAPED: 1 GiB")
