//! Settings of HTTP connections become [`HttpConfig`].

use std::time::Duration;

use crate::config::error::ConfigError;
use crate::config::values::reader::Reader;

use super::options;
use super::types::HttpConfig;
use crate::config::values::value;

/// The default of the option, in the type of its value.
const KEEP_ALIVE_DEFAULT: Duration = Duration::from_secs(75);

impl Reader<'_> {
    pub(crate) fn http(&mut self) -> Result<HttpConfig, ConfigError> {
        Ok(HttpConfig {
            ready_path: self.ready_path()?,
            add_headers: self.headers(&options::ADD_HEADER)?,
            removed_headers: self.header_names(&options::DEL_HEADER)?,
            variables: self.variables(&options::HTTP_VAR)?,
        })
    }

    fn ready_path(&self) -> Result<Option<String>, ConfigError> {
        let Some(setting) = self.raw.last(&options::READY_PATH) else {
            return Ok(None);
        };
        let path = &setting.text;
        let is_path = path.starts_with('/')
            && path
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && byte != b'?' && byte != b'#');
        if !is_path {
            return Err(setting.error(format_args!(
                "wants a path such as /readyz, without a query, got '{path}'"
            )));
        }
        Ok(Some(path.clone()))
    }

    /// uWSGI's `http-keepalive = true`, and 1, switch keep-alive on without saying for how long.
    pub(crate) fn keep_alive(&mut self) -> Result<Duration, ConfigError> {
        let row = &options::HTTP_KEEPALIVE;
        let word = self.raw.last(row).map(|setting| setting.text.as_str());
        match word
            .filter(|word| value::is_no_number(word))
            .map(value::flag)
        {
            Some(read) if !read.value => Ok(Duration::ZERO),
            None if word == Some("1") => Ok(KEEP_ALIVE_DEFAULT),
            Some(_) | None => self.seconds(row),
        }
    }
}
