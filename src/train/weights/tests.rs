mod adapters;
mod files;
mod llama_cpp;
mod written;
