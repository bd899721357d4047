# Libraries that the system provides; a missing one names the Debian package to install.
function(sdrbee_header_library name header package)
  find_path(SDRBEE_${name}_INCLUDE ${header})
  if(NOT SDRBEE_${name}_INCLUDE)
    message(FATAL_ERROR "${header} not found: install ${package} (Debian, Ubuntu: apt-get install ${package})")
  endif()
  add_library(sdrbee::${name} INTERFACE IMPORTED GLOBAL)
  set_target_properties(sdrbee::${name} PROPERTIES
    INTERFACE_INCLUDE_DIRECTORIES ${SDRBEE_${name}_INCLUDE})
endfunction()

sdrbee_header_library(json nlohmann/json.hpp nlohmann-json3-dev)
sdrbee_header_library(stb stb/stb_image.h libstb-dev)
sdrbee_header_library(utf8proc utf8proc.h libutf8proc-dev)
find_library(SDRBEE_LIB_utf8proc utf8proc REQUIRED)
set_property(TARGET sdrbee::utf8proc PROPERTY INTERFACE_LINK_LIBRARIES ${SDRBEE_LIB_utf8proc})
find_package(ZLIB REQUIRED)
