# Finds BLIS with its native interface (blis.h).
#   BLIS_ROOT (CMake or environment variable)  a prefix to look in first
#   BLIS_FOUND, BLIS_VERSION, imported target BLIS::BLIS
# Debian keeps each threading flavour in a folder of its own; the OpenMP one is what heed wants, because the
# number of threads of a product is then set per call.
find_path(BLIS_INCLUDE_DIR blis.h
  PATH_SUFFIXES blis-openmp blis x86_64-linux-gnu/blis-openmp aarch64-linux-gnu/blis-openmp
                ${CMAKE_LIBRARY_ARCHITECTURE}/blis-openmp)
find_library(BLIS_LIBRARY NAMES blis blis-mt
  PATH_SUFFIXES blis-openmp x86_64-linux-gnu/blis-openmp aarch64-linux-gnu/blis-openmp
                ${CMAKE_LIBRARY_ARCHITECTURE}/blis-openmp)
if(BLIS_INCLUDE_DIR)
  file(STRINGS "${BLIS_INCLUDE_DIR}/blis.h" _blis_version REGEX "define BLIS_VERSION_STRING" LIMIT_COUNT 1)
  string(REGEX REPLACE ".*\"([^\"]*)\".*" "\\1" BLIS_VERSION "${_blis_version}")
endif()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(BLIS REQUIRED_VARS BLIS_LIBRARY BLIS_INCLUDE_DIR VERSION_VAR BLIS_VERSION)
if(BLIS_FOUND AND NOT TARGET BLIS::BLIS)
  add_library(BLIS::BLIS UNKNOWN IMPORTED)
  set_target_properties(BLIS::BLIS PROPERTIES IMPORTED_LOCATION "${BLIS_LIBRARY}"
                        INTERFACE_INCLUDE_DIRECTORIES "${BLIS_INCLUDE_DIR}")
endif()
mark_as_advanced(BLIS_INCLUDE_DIR BLIS_LIBRARY)
