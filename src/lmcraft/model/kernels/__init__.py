"""Parts of training in float32 on a CPU, compiled from C++ where there is a compiler; everything else is torch's.

product        products of two matrices, and a linear layer with its gradients
attention      causal attention with its gradients
elementwise    RMSNorm, rotary positions and the gate of SwiGLU, with their gradients
library        compiles the C++, and calls it on torch's threads
kernels.cpp    the C++; it includes the .h files
"""
