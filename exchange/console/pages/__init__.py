"""The pages, one module each: `build` fills the frame's main part."""
