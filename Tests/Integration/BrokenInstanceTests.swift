import ControlAPI
import ControlClient
import NIOCore
import NIOHTTP1
import Testing

extension Integration {
    @Suite("An instance is broken")
    struct BrokenInstance {
        @Test(
            "an instance that breaks HTTP costs its own requests only, is never passed on, and mirror refuses",
            arguments: ["garbage", "close", "truncate", "silent"])
        func broken(mode: String) async throws {
            var shape = DeploymentShape(.notes)
            shape.instances = 3
            shape.broken["web-3"] = mode
            shape.extra = "timeouts: { response: 1s }\nbalance: round-robin"
            try await Deployment.with(shape) { deployment in
                var good: [Browser] = []
                var failures: Set<String> = []
                for _ in 0..<12 {
                    var visitor = Browser(deployment.address)
                    do {
                        let answer = try await visitor.send(.POST, "/increment", timeout: .seconds(10))
                        if answer.status == 200 {
                            #expect(answer.body == "1")
                            good.append(visitor)
                        } else {
                            failures.insert("\(answer.status)")
                        }
                    } catch {
                        // A body that stops short must not look complete.
                        failures.insert("cut")
                    }
                }
                let expected: Set<String> =
                    switch mode {
                    case "silent": ["504"]
                    case "truncate": ["cut"]
                    default: ["502"]
                    }
                #expect(failures == expected)
                #expect(good.count >= 6)
                for index in good.indices { #expect(try await good[index].post("/increment").body == "2") }
                let message = try await deployment.refuse("mirror")
                #expect(message.contains("web-3"))
                for index in good.indices { #expect(try await good[index].get("/value").body == "2") }
            }
        }
    }
}
