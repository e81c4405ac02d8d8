# What `cmake --install` puts where: the libraries with their headers, find_package and pkg-config files, the
# program with its man page and templates. The simulation is for tests and stays here.
include(CMakePackageConfigHelpers)

get_property(P2P_INSTALLED GLOBAL PROPERTY P2P_LIBRARIES)
list(REMOVE_ITEM P2P_INSTALLED p2p_sim)
install(TARGETS ${P2P_INSTALLED} EXPORT p2p-learner-targets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT p2p-learner-targets NAMESPACE p2p-learner::
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/p2p-learner)

set(P2P_HEADER_ROOMS metadata/base learner)
if(P2P_NETWORK)
  set(P2P_HEADER_ROOMS metadata learner overlay)
endif()
foreach(room ${P2P_HEADER_ROOMS})
  cmake_path(GET room PARENT_PATH parent)
  install(DIRECTORY ${PROJECT_SOURCE_DIR}/${room}
    DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/p2p-learner/${parent}
    FILES_MATCHING PATTERN "*.hpp" PATTERN sim EXCLUDE)
endforeach()

configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/p2p-learner-config.cmake.in
  ${PROJECT_BINARY_DIR}/package/p2p-learner-config.cmake
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/p2p-learner)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/package/p2p-learner-config-version.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/package/p2p-learner-config.cmake
  ${PROJECT_BINARY_DIR}/package/p2p-learner-config-version.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/p2p-learner)

# Relative to where the file lies, so that `cmake --install --prefix` may put it anywhere.
file(RELATIVE_PATH P2P_PREFIX_FROM_PC /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
foreach(pc p2p-learner p2p-learner-core)
  if(pc STREQUAL p2p-learner AND NOT P2P_NETWORK)
    continue()
  endif()
  configure_file(${CMAKE_CURRENT_LIST_DIR}/${pc}.pc.in ${PROJECT_BINARY_DIR}/package/${pc}.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/package/${pc}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endforeach()

if(TARGET p2p-learner)
  install(TARGETS p2p-learner RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  install(FILES ${PROJECT_SOURCE_DIR}/tools/man/p2p-learner.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
endif()
