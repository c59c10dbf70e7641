/* Read before every C and C++ file of llama.cpp where GCC compiles it: leaves AMX out where this GCC cannot compile it.

   GCC before 11.5, 12.4, 13.3 and 14 tells its own optimiser that _tile_loadconfig reads 8 bytes of the 64 (GCC bug
   114098). The stores to the other 56 are dropped, and the first AMX instruction kills the process with SIGILL. ggml
   asks for this macro before it compiles its AMX kernels; without it AVX-512 VNNI does the same work. */
#if defined(__AMX_INT8__) && defined(__GNUC__) && !defined(__clang__)
#if __GNUC__ < 11 || (__GNUC__ == 11 && __GNUC_MINOR__ < 5) || (__GNUC__ == 12 && __GNUC_MINOR__ < 4) || \
    (__GNUC__ == 13 && __GNUC_MINOR__ < 3)
#undef __AMX_INT8__
#endif
#endif
