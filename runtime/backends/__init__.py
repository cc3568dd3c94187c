"""One module for each library that runs an engine. Nothing else imports an engine library."""
