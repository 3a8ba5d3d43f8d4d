//! How many interpreters a generation has at a time: uWSGI's cheaper and its algorithms.
//!
//! Pure rules, without a clock, a thread or Python: the supervisor's thread shows a
//! [`cheaper::Policy`] an [`observation::Observation`] once a cycle and has its decision carried
//! out by `sm-reload`. [`idle`] says whether a generation has any interpreter at all, for the
//! threads that queue requests. Read [`rules`] first, then [`cheaper`].

pub mod busyness;
pub mod cheaper;
pub mod idle;
pub mod observation;
pub mod rules;
