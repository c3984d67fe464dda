"""The native tier: the decode step as one C++ operation, compiled once for this machine and called with ctypes.

build           compiles and loads the library
coverage        which parts of a model the step computes, and the name of the first that it lacks
structs         the C structures and constants, checked at load
weight_packing  a Transformer's tensors as pointers in those structures
decoder         one decode step
runner          the tier that the engine uses
decode.cpp      the decode step itself; its header comment lists the .h files
"""
