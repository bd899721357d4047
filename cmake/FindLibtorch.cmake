# Finds the libtorch that comes inside the installed Python package `torch`, without running `import torch`
# and without find_package(Torch), which on a CUDA wheel needs a CUDA toolkit and links gigabytes.
find_package(Python COMPONENTS Interpreter REQUIRED)
execute_process(
  COMMAND ${Python_EXECUTABLE} -c
          "import importlib.util as u; s = u.find_spec('torch'); print(s.submodule_search_locations[0] if s else '')"
  OUTPUT_VARIABLE SDRBEE_TORCH_DIR OUTPUT_STRIP_TRAILING_WHITESPACE)
if(NOT SDRBEE_TORCH_DIR)
  message(FATAL_ERROR "PyTorch is not installed for ${Python_EXECUTABLE}: run `pip install torch==2.13.0`")
endif()
file(STRINGS ${SDRBEE_TORCH_DIR}/version.py SDRBEE_TORCH_VERSION REGEX "^__version__")
string(REGEX REPLACE ".*'([0-9]+\\.[0-9]+\\.[0-9]+).*" "\\1" SDRBEE_TORCH_VERSION "${SDRBEE_TORCH_VERSION}")
message(STATUS "libtorch ${SDRBEE_TORCH_VERSION} from ${SDRBEE_TORCH_DIR}")

foreach(library c10 torch_cpu)
  string(REPLACE "torch_" "" target ${library})
  find_library(SDRBEE_LIB_${library} ${library} PATHS ${SDRBEE_TORCH_DIR}/lib NO_DEFAULT_PATH REQUIRED)
  add_library(torch::${target} SHARED IMPORTED GLOBAL)
  set_target_properties(torch::${target} PROPERTIES
    IMPORTED_LOCATION ${SDRBEE_LIB_${library}}
    INTERFACE_INCLUDE_DIRECTORIES ${SDRBEE_TORCH_DIR}/include
    INTERFACE_COMPILE_DEFINITIONS AT_PER_OPERATOR_HEADERS)
endforeach()
# at::parallel_for is inline code: where the compiler has no OpenMP it runs on one thread. At run
# time the OpenMP library is the one that libtorch brings, which has the same name.
find_package(OpenMP REQUIRED COMPONENTS CXX)
target_link_libraries(torch::cpu INTERFACE torch::c10 OpenMP::OpenMP_CXX)
