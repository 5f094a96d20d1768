"""Small duties, one function each, called by the daemon on one machine and by Lambda on an account."""
