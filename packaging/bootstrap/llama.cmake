# CMake reads this inside llama.cpp's project(), where a plain variable beats the values that llama-cpp-python forces.
# The Python package calls only libllama; the helper library for llama.cpp's own programs is half of the build.
set(LLAMA_BUILD_COMMON OFF)
if(NOT NEARFAR_METAL)
  set(GGML_METAL OFF)
endif()
