# Configures a build with MPICH's compiler wrapper and serial HDF5, builds the programs that run on several ranks, and runs
# those that TESTS names with MPICH's launcher. More ranks than cores are slow: MPICH waits busily.
find_program(MPICC NAMES mpicc.mpich)
find_program(MPIEXEC NAMES mpiexec.mpich mpirun.mpich)
if(NOT MPICC OR NOT MPIEXEC)
  message("skipped: no MPICH here (mpicc.mpich and mpiexec.mpich)")
  return()
endif()

function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT status EQUAL 0)
    list(JOIN ARGN " " command)
    message(FATAL_ERROR "${command}\nended with ${status}:\n${output}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()

# Lightly optimised: what is asked is whether it works with another MPI, and most of the time here goes to the compiler.
run(${CMAKE_COMMAND} -S "${SOURCE}" -B "${BUILD}" -G "${GENERATOR}" -DCMAKE_BUILD_TYPE=Debug
    "-DCMAKE_C_FLAGS_DEBUG=-O1" "-DHEED_SANITIZE=${SANITIZE}" -DHEED_INNER_BUILD=ON -DHEED_WERROR=ON
    "-DMPI_C_COMPILER=${MPICC}" "-DMPIEXEC_EXECUTABLE=${MPIEXEC}" -DHDF5_PREFER_PARALLEL=OFF)
run(${CMAKE_COMMAND} --build "${BUILD}" --target rank_tests --parallel 2)
file(STRINGS "${BUILD}/CMakeCache.txt" libraries REGEX "^MPI_.*LIBRARY:FILEPATH=.*mpich")
if(NOT libraries)
  message(FATAL_ERROR "the build did not take MPICH's library")
endif()
run(${CMAKE_CTEST_COMMAND} --test-dir "${BUILD}" -R "${TESTS}" -E _double -LE slow --output-on-failure)
string(REGEX MATCH "[0-9]+% tests passed[^\n]*" summary "${output}")
if(NOT summary MATCHES "out of [1-9]")
  message(FATAL_ERROR "no test ran:\n${output}")
endif()
message("${summary}")
