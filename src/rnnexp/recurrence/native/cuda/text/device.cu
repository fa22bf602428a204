/* Which thread of which block this is, and what the blocks of a cluster share. The blocks of a
   cluster run at the same time, on multiprocessors that reach each other's shared memory.

   Source: NVIDIA, "PTX ISA", barrier.cluster and mapa. */
INLINE int thread_index() { return threadIdx.x; }
INLINE int cluster_rank() { return blockIdx.x % CLUSTER; }
INLINE long long cluster_index() { return blockIdx.x / CLUSTER; }
INLINE void sync_block() { __syncthreads(); }

#if CLUSTER > 1
/* What lies in the shared memory of a block where this does in one's own. */
INLINE real *peer(real *mine, int rank) {
  real *theirs;
  asm volatile("mapa.u64 %0, %1, %2;" : "=l"(theirs) : "l"(mine), "r"(rank));
  return theirs;
}

/* Between these two a thread may do what the others need not see. */
INLINE void arrive() { asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory"); }
INLINE void await() { asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory"); }
#else
INLINE real *peer(real *mine, int rank) { return mine; }
INLINE void arrive() {}
INLINE void await() { __syncthreads(); }
#endif
