# CMake reads this inside llama.cpp's project(), where a plain variable beats the values that llama-cpp-python forces.
# The Python package calls only libllama; the helper library for llama.cpp's own programs is half of the build.
set(LLAMA_BUILD_COMMON OFF)
if(NOT NEARFAR_METAL)
  set(GGML_METAL OFF)
endif()
if(CMAKE_C_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  add_compile_options("$<$<COMPILE_LANGUAGE:C,CXX>:SHELL:-include \"${CMAKE_CURRENT_LIST_DIR}/amx.h\">")
endif()
