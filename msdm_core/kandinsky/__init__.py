"""The Kandinsky 2.2 architecture at small scale: what its parts are built of and start from."""
