"""Streams made of others, where a client asks for a form that no cassette holds.

A slower diff depth is made of a faster one, a partial depth of diffs and a recorded
snapshot, a mini ticker of a ticker, an array of its members and a member of its
array. Only what is exact is made: every number in a derived frame stands in a frame
that was recorded, or in the book that recorded frames make.

A derived frame follows, at the same receive time, the recorded frame that completes
it. What it says, and where, depends on the recording alone: neither on when somebody
asked for it nor on what else is derived.
"""
