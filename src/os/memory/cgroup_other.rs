//! Other systems: there are no cgroups, so nothing limits the memory of a container that the server
//! could see.

#[derive(Clone, Copy, Debug)]
pub struct Level {
    /// Bytes that may be used.
    pub limit: u64,
    pub used: u64,
}

pub enum Cgroup {}

impl Cgroup {
    pub fn find() -> Option<Self> {
        None
    }

    pub fn level(&self) -> Option<Level> {
        match *self {}
    }
}
