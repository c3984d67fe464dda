"""C++ that is compiled on the user's machine.

compiler   the compilers of this machine
library    compiles a source file once, and loads the library
"""
