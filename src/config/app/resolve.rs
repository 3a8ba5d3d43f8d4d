//! Settings of the application become [`AppConfig`].

use crate::config::error::ConfigError;
use crate::config::values::reader::Reader;

use super::options;
use super::target;
use super::types::AppConfig;

impl Reader<'_> {
    pub(crate) fn app(&mut self) -> Result<AppConfig, ConfigError> {
        Ok(AppConfig {
            choice: target::choose(self.raw, &mut self.warnings)?,
            mounts: target::mounts(self.raw)?,
            callable: target::callable(self.raw)?,
            chdir: self.path(&options::CHDIR)?,
            need_app: self.flag(&options::NEED_APP),
            manage_script_name: self.flag(&options::MANAGE_SCRIPT_NAME),
            no_default_app: self.flag(&options::NO_DEFAULT_APP),
            ignore_script_name: self.flag(&options::IGNORE_SCRIPT_NAME),
            eval: self.text(&options::EVAL),
            paste_logger: self.flag(&options::PASTE_LOGGER),
            wsgi_strict: self.flag(&options::WSGI_STRICT),
            file_wrapper: !self.flag(&options::WSGI_DISABLE_FILE_WRAPPER),
            wsgi_accept_buffer: self.flag(&options::WSGI_ACCEPT_BUFFER),
            disable_write_exception: self.flag(&options::DISABLE_WRITE_EXCEPTION),
            catch_exceptions: self.flag(&options::CATCH_EXCEPTIONS),
            error_pages: [
                (403, self.paths(&options::ERROR_PAGE_403)?),
                (404, self.paths(&options::ERROR_PAGE_404)?),
                (500, self.paths(&options::ERROR_PAGE_500)?),
            ],
        })
    }
}
