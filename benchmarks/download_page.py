"""The page that download.py writes, with gaps for its figures. Must not measure anything."""

from __future__ import annotations

TEXT = """# Downloading, beside curl

Measured {date} at {commit} on {cpu} ({cores} cores), Python {python}, with

    {command}

A file of {size_mib} MiB of random bytes from the tests' stand-in hub on loopback: a process of its own that answers
with sendfile, and shares the cores with whoever downloads. {rounds} rounds in which the ways took turns; Nearfar
had up to {connections} connections. Rates in 10^6 bytes per second; the last column is the median of the ratios
within a round. Compare ratios, not rates, between days and machines.

| way | median MB/s | slowest | fastest | times curl |
|---|---|---|---|---|
{rows}

- Nearfar's time runs from the click to a verified file under its name: it resolves the file at the hub, takes the space
  on the disk, writes, syncs, hashes and renames. curl's file is neither hashed nor synced. The aim was 0.9 of curl;
  measured: {times}.
- The bare loop (benchmarks/download_bare.py) reaches {bare}: what hashing leaves where two cores are shared with the
  server. The rest of the way down is what Nearfar does besides: ranges, books for a restart, a sync for each MiB.
- A second connection joins only while the first brings less than 250 MB/s. Above that the processor is what holds it
  up, and four threads that write one file make it worse: on two cores they cost a third of the rate.
- Memory grew by {memory} MiB at most (the aim: under 64), CPU time of the whole process was {cpu_s} s.
- Reading alone costs {threads} s of CPU time for each GiB in the download's own threads, most of it in the kernel and
  without Python's lock; the HTTP client that the rest of the app uses takes {loop} s, all of it on the engine loop, on
  which answers are stamped. That is why downloads have connections of their own behind the same door.
- Nearfar keeps both cores at work where curl keeps one, so on a machine that other work shares it falls behind curl.
  The load (processes that want a core, average of a minute) was {load_before:.1f} before and {load_after:.1f} after.

## Kills

    KILL_TEST_MIB={size_mib} pytest -s tests/backends/models/test_download_kill.py -k ten

fetches such a file through kill -9 at ten random moments, checks its sha256, and says:

    {kills}

It counts what the app's code took off its sockets, heads of replies included; the aim is at most 1 MiB for each kill.
What was under way in the two kernels' buffers, where no program has it yet, is not counted.
"""
