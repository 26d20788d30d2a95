"""`python -m tscale.catalogue`: compiles what is shipped anew, after a change of `configs/`."""

from tscale.catalogue.compiling import write

if __name__ == "__main__":
    write()
