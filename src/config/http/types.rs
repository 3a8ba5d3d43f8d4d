//! HTTP connections, as values.

/// What the server adds to requests and responses, and answers itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpConfig {
    /// The path that is answered with whether the server is ready (`ready-path`); begins with a
    /// slash.
    pub ready_path: Option<String>,
    /// Fields to add to every response (`add-header`): name and value, checked for controls.
    pub add_headers: Vec<(String, String)>,
    /// Fields to leave out of every response (`del-header`).
    pub removed_headers: Vec<String>,
    /// Variables of the environ of every request over HTTP (`http-var`).
    pub variables: Vec<(String, String)>,
}
