# Installs the build into a folder, moves that folder (an installation may be moved), and builds consumer/ against it twice: by
# find_package(heed) and by pkg-config. Both programs and the installed heed must run.
function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT status EQUAL 0)
    list(JOIN ARGN " " command)
    message(FATAL_ERROR "${command}\nended with ${status}:\n${output}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()

function(expect text pattern)
  if(NOT text MATCHES "${pattern}")
    message(FATAL_ERROR "expected ${pattern}, got:\n${text}")
  endif()
endfunction()

set(work "${CMAKE_CURRENT_BINARY_DIR}/work")
set(prefix "${work}/moved")
file(REMOVE_RECURSE "${work}")
run(${CMAKE_COMMAND} --install "${BUILD}" --prefix "${work}/first")
file(RENAME "${work}/first" "${prefix}")
string(REPLACE "." "\\." version "${VERSION}")

run("${prefix}/bin/heed" version)
expect("${output}" "heed ${version}")

run(${CMAKE_COMMAND} -S "${SOURCE}/consumer" -B "${work}/cmake" "-DCMAKE_PREFIX_PATH=${prefix}" "-DCMAKE_C_COMPILER=${CC}"
    "-DCMAKE_C_FLAGS=${FLAGS}")
run(${CMAKE_COMMAND} --build "${work}/cmake")
run("${work}/cmake/consumer")
expect("${output}" "heed ${version}.*, rank 0 of 1, ")

file(GLOB_RECURSE pc_file "${prefix}/*/heed.pc")
get_filename_component(pc_folder "${pc_file}" DIRECTORY)
set(ENV{PKG_CONFIG_PATH} "${pc_folder}")
run(pkg-config --modversion heed)
expect("${output}" "^${version}\n$")
run(pkg-config --cflags --libs heed)
separate_arguments(flags UNIX_COMMAND "${output} ${FLAGS}")
run(${CC} -o "${work}/consumer" "${SOURCE}/consumer/main.c" ${flags})
set(ENV{LD_LIBRARY_PATH} "${pc_folder}/..:$ENV{LD_LIBRARY_PATH}")  # for a shared libheed
run("${work}/consumer")
expect("${output}" "heed ${version}.*, rank 0 of 1, ")
message(STATUS "installed, moved, found by CMake and by pkg-config, run")
