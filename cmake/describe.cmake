# Writes what git says of the sources into a header. Called by every build, as a script:
#
#   cmake -DSOURCE=<project> -DHEADER=<file> -P describe.cmake
#
# In an archive made by `git archive` the answer stands in describe.txt; elsewhere it is empty. The header is touched only
# when the answer changes.
set(describe "")
find_program(GIT git)
if(GIT AND EXISTS "${SOURCE}/.git")  # a folder, or a file in a worktree; not a repository further up
  execute_process(COMMAND ${GIT} -C "${SOURCE}" describe --always --tags --dirty
                  OUTPUT_VARIABLE describe OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
else()
  file(STRINGS "${CMAKE_CURRENT_LIST_DIR}/describe.txt" archived LIMIT_COUNT 1)
  if(NOT archived MATCHES "Format:")
    set(describe "${archived}")
  endif()
endif()
string(REGEX REPLACE "[^A-Za-z0-9._+/-]" "" describe "${describe}")

set(text "#define HEED_DESCRIBE \"${describe}\"\n")
if(EXISTS "${HEADER}")
  file(READ "${HEADER}" old)
endif()
if(NOT text STREQUAL "${old}")
  file(WRITE "${HEADER}" "${text}")
endif()
