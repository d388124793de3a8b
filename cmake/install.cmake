# What `cmake --install` lays down: heed, libheed, its headers, a CMake package (find_package(heed)) and heed.pc.
include(CMakePackageConfigHelpers)

set(package_folder "${CMAKE_INSTALL_LIBDIR}/cmake/heed")
install(TARGETS heed EXPORT heedTargets
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
if(HEED_CLI_SOURCES)
  install(TARGETS heed_program RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/heed" DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(EXPORT heedTargets NAMESPACE heed:: DESTINATION ${package_folder})
configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/heedConfig.cmake.in" "${PROJECT_BINARY_DIR}/heedConfig.cmake"
                              INSTALL_DESTINATION ${package_folder})
write_basic_package_version_file("${PROJECT_BINARY_DIR}/heedConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/heedConfig.cmake" "${PROJECT_BINARY_DIR}/heedConfigVersion.cmake"
              "${PROJECT_SOURCE_DIR}/cmake/FindBLIS.cmake" DESTINATION ${package_folder})

# A static libheed needs its engines named whenever something links it; a shared one brings them along.
set(engine_files ${MPI_C_LIBRARIES} ${BLIS_LIBRARY})
foreach(target hdf5::hdf5_hl hdf5::hdf5)
  foreach(property IMPORTED_LOCATION IMPORTED_LOCATION_RELEASE IMPORTED_LOCATION_RELWITHDEBINFO)
    get_target_property(location ${target} ${property})
    if(location)
      list(APPEND engine_files "${location}")
      break()
    endif()
  endforeach()
endforeach()
list(JOIN engine_files " " HEED_PC_LIBS)
string(APPEND HEED_PC_LIBS " ${OpenMP_C_FLAGS} -lpthread -lm")
get_target_property(libheed_type heed TYPE)
if(libheed_type STREQUAL "SHARED_LIBRARY")
  set(HEED_PC_PRIVATE ".private")
  set(HEED_PC_LIBS_PRIVATE "${HEED_PC_LIBS}")
  set(HEED_PC_LIBS "")
endif()
file(RELATIVE_PATH HEED_PC_PREFIX "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
configure_file("${PROJECT_SOURCE_DIR}/cmake/heed.pc.in" "${PROJECT_BINARY_DIR}/heed.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/heed.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
