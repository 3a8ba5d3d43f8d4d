//! The number of interpreters of a generation: uWSGI's cheaper and its algorithms.
//!
//! Pure rules: the supervisor's thread passes an [`observation::Observation`] to a
//! [`cheaper::Policy`] once a cycle, and `sm-reload` carries the decision out. [`idle`] tells
//! threads that queue requests whether there is any interpreter. Read [`rules`] first, then
//! [`cheaper`].

pub mod busyness;
pub mod cheaper;
pub mod idle;
pub mod observation;
pub mod rules;
