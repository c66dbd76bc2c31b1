import Foundation

/// Finds what the demonstration needs in a source tree.
public enum ShopLocation {
    /// The folder of the example shop: in the current folder's tree or the executable's, looking upwards.
    public static func shop(executable: String, currentFolder: String) -> String? {
        find("Examples/django-shop", marker: "serve.py", from: [currentFolder, executable])
    }

    /// The interpreter of the source tree's virtual environment.
    public static func python(executable: String, currentFolder: String, shop: String?) -> String? {
        let starts = [shop, currentFolder, executable].compactMap(\.self)
        return find(".build/venv/bin", marker: "python", from: starts).map { $0 + "/python" }
    }

    /// - Returns: the first `START/../…/path` that holds `marker`, nearest first.
    static func find(_ path: String, marker: String, from starts: [String]) -> String? {
        for start in starts {
            var folder = URL(fileURLWithPath: start).standardizedFileURL.path
            while true {
                let candidate = (folder == "/" ? "" : folder) + "/" + path
                if FileManager.default.fileExists(atPath: candidate + "/" + marker) { return candidate }
                if folder == "/" || folder.isEmpty { break }
                folder = String(folder[..<(folder.lastIndex(of: "/") ?? folder.startIndex)])
                if folder.isEmpty { folder = "/" }
            }
        }
        return nil
    }
}
