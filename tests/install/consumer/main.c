#include <heed/comm.h>
#include <heed/version.h>
#include <stdio.h>

int main(void) {
    heed_error error = HEED_ERROR_INIT;
    heed_comm *comm;
    if (heed_comm_open(&comm, &error))
        return heed_status_exit(error.status);
    printf("heed %s, rank %d of %d, %s\n", heed_version(), comm->rank, comm->size, heed_comm_library());
    heed_comm_close(comm);
    return 0;
}
