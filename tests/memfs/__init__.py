"""A POSIX file system in memory, with a disk that keeps only what was synced.

`files.MemoryFiles` is the port `local.files.Files` on it; `hands.Hands` is what people's programs
do; `tree.Tree` is the kernel below both; `journal` knows what a power cut leaves.
"""
