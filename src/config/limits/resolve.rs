//! Settings of limits and deadlines become [`LimitsConfig`].

use crate::config::error::ConfigError;
use crate::config::values::reader::Reader;
use crate::protocol::http::Limits;

use super::options;
use super::types::{HarakiriRules, LimitsConfig};
use crate::protocol::listen::Deadlines;

/// What temporary files of request bodies may have together, at least. Bytes.
const BODY_FILES_BYTES_MIN: u64 = 1 << 30;

impl Reader<'_> {
    pub(crate) fn limits(&mut self) -> Result<LimitsConfig, ConfigError> {
        Ok(LimitsConfig {
            request: Limits {
                head_bytes_max: self.count(&options::BUFFER_SIZE)?,
                fields_max: self.count(&options::MAX_FIELDS)?,
                target_bytes_max: self.count(&options::MAX_TARGET)?,
                body_bytes_max: match self.number(&options::LIMIT_POST)? {
                    0 => u64::MAX,
                    bytes => bytes,
                },
                chunk_line_bytes_max: self.count(&options::MAX_CHUNK_LINE)?,
                trailer_bytes_max: self.count(&options::MAX_TRAILERS)?,
            },
            deadlines: Deadlines {
                header: self.deadline(&options::HEADER_TIMEOUT)?,
                body_idle: self.deadline(&options::BODY_TIMEOUT)?,
                body_rate_bytes_per_second_min: self.number(&options::BODY_MIN_RATE)?,
                keep_alive: self.keep_alive()?,
                write: self.deadline(&options::SOCKET_TIMEOUT)?,
            },
            harakiri: HarakiriRules {
                limit: Some(self.seconds(&options::HARAKIRI)?).filter(|limit| !limit.is_zero()),
                is_verbose: self.flag(&options::HARAKIRI_VERBOSE),
                grace: self.seconds(&options::HARAKIRI_GRACEFUL_TIMEOUT)?,
                waiting_min: self.count(&options::HARAKIRI_QUEUE_THRESHOLD)?,
            },
            connections_max: self.count(&options::MAX_CONNECTIONS)?,
            queue_max: self.count(&options::REQUEST_QUEUE)?,
            body_memory_bytes_max: self.count(&options::POST_BUFFERING)?,
            body_file_bytes_max: self.body_file_bytes_max()?,
            output_bytes_max: self.count(&options::RESPONSE_BUFFERING)?,
            output_memory_bytes_max: self.number(&options::RESPONSE_MEMORY_TOTAL)?,
            output_file_bytes_max: self.number(&options::RESPONSE_FILES_TOTAL)?,
        })
    }

    /// Unless set, one body may use all of it.
    fn body_file_bytes_max(&mut self) -> Result<u64, ConfigError> {
        let one = self.number(&options::LIMIT_POST)?;
        let all = self.optional_number(&options::POST_BUFFERING_TOTAL)?;
        Ok(
            match all.unwrap_or(if one == 0 {
                0
            } else {
                one.max(BODY_FILES_BYTES_MIN)
            }) {
                0 => u64::MAX,
                bytes => bytes,
            },
        )
    }
}
