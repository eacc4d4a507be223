"""Request analysers: data in, profile out; one analyser a file."""
