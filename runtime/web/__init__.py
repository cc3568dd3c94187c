"""HTML that opens offline: the document, its look, the page of a generator, and reports. Needs the base alone."""
