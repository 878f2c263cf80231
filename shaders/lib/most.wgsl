// More rounds than any loop has. A loop counts to this constant and leaves before: where its bound is a variable, or its step is not 1,
// compilers that do not see that it ends add a counter of 64 bits, and drivers do not unroll it.
const MOST = 0x10000000u;
