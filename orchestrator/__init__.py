"""The daemon and those who think for it: reconcile, dispatch, designers, analyst, notebook."""
