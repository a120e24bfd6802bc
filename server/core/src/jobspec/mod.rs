//! Jobspecs in HCL as the API's job.
