"""C++ that is compiled on the user's machine.

compiler   the compilers of this machine
targets    instruction sets to compile for ahead of time
library    compiles a source file once, and loads the library
"""
