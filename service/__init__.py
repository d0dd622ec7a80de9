"""gliodex over HTTP: queries as jobs, searches at once, a page in the browser. `pip install 'gliodex[serve]'`."""
