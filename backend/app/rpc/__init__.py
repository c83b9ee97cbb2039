"""The Open Inference Protocol over gRPC: read a message, call one thing, write one."""
