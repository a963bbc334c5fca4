//! The second fence, in the kernel: PostgreSQL's packets to its clients pass only while the lease lasts.
