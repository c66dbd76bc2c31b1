/// Finds the word that was probably meant.
enum NearestWord {
    /// The candidate with the smallest edit distance, if that is at most a third of the word's length (at least 1, at
    /// most 3): beyond it a suggestion misleads more than it helps. Ties go to the earlier candidate.
    static func nearest(to word: String, among candidates: some Sequence<String>) -> String? {
        let limit = min(3, max(1, word.count / 3))
        var best: (word: String, distance: Int)?
        for candidate in candidates {
            let distance = distance(word.lowercased(), candidate.lowercased())
            if distance <= limit, distance < (best?.distance ?? Int.max) { best = (candidate, distance) }
        }
        return best?.word
    }

    /// Insertions, deletions, replacements and swaps of neighbours that turn one word into the other (optimal string
    /// alignment, Damerau 1964).
    static func distance(_ left: String, _ right: String) -> Int {
        let a = Array(left)
        let b = Array(right)
        // A mistyped key is short; a pasted paragraph is not worth a quadratic comparison.
        guard !a.isEmpty, !b.isEmpty, a.count <= 64, b.count <= 64 else { return a == b ? 0 : max(a.count, b.count) }
        var twoBack = [Int](repeating: 0, count: b.count + 1)
        var oneBack = Array(0...b.count)
        for i in 1...a.count {
            var row = [i] + [Int](repeating: 0, count: b.count)
            for j in 1...b.count {
                let replaced = oneBack[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)
                row[j] = min(replaced, oneBack[j] + 1, row[j - 1] + 1)
                if i > 1, j > 1, a[i - 1] == b[j - 2], a[i - 2] == b[j - 1] { row[j] = min(row[j], twoBack[j - 2] + 1) }
            }
            (twoBack, oneBack) = (oneBack, row)
        }
        return oneBack[b.count]
    }
}
