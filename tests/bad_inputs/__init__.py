"""Bad inputs for every public function: each ends in an error of the library that names the argument, or is right."""
