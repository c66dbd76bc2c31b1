import Testing

/// Everything here starts real processes; one test at a time, so that two cores suffice.
@Suite("Integration", .serialized, .timeLimit(.minutes(10)))
struct Integration {}
