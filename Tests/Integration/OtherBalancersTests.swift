import Foundation
import Testing

extension Integration {
    /// Step 1 and 3 of Playbooks/from-other-balancers.md with the real balancers: while they and Unstick serve the same
    /// clients side by side, each reads what the other wrote, so no session ever misses its instance.
    @Suite("From other balancers and out again")
    struct OtherBalancers {
        @Test("clients go to and fro between HAProxy and Unstick, and every counter stays right")
        func haproxy() async throws {
            try await Deployment.with(DeploymentShape()) { deployment in
                try deployment.append(
                    "affinity: { adopt: [{ cookie: SERVERID, format: haproxy-insert, map: { s1: web-1, s2: web-2 } }] }"
                )
            } _: { deployment in
                let port = try Ports.free()
                try deployment.write(
                    """
                    defaults
                        mode http
                        timeout connect 2s
                        timeout client 1m
                        timeout server 1m
                    frontend www
                        bind 127.0.0.1:\(port)
                        default_backend shop
                    backend shop
                        balance roundrobin
                        cookie SERVERID insert indirect nocache
                        use-server s1 if { req.cook(UNSTICK) -m beg web-1~ }
                        use-server s2 if { req.cook(UNSTICK) -m beg web-2~ }
                        server s1 127.0.0.1:\(deployment.instancePorts[0]) cookie s1
                        server s2 127.0.0.1:\(deployment.instancePorts[1]) cookie s2

                    """, to: "haproxy.cfg")
                try deployment.launch(
                    "haproxy", "/usr/sbin/haproxy", ["-db", "-f", "\(deployment.folder)/haproxy.cfg"])
                try await deployment.changeBalancers(with: "http://127.0.0.1:\(port)", mark: "SERVERID")
            }
        }

        @Test("clients go to and fro between nginx, which writes down who answered, and Unstick")
        func nginx() async throws {
            try await Deployment.with(DeploymentShape()) { deployment in
                let (one, two) = (deployment.instancePorts[0], deployment.instancePorts[1])
                try deployment.append(
                    "affinity: { adopt: [{ cookie: HOME, format: value, map: "
                        + "{ \"127.0.0.1:\(one)\": web-1, \"127.0.0.1:\(two)\": web-2 } }] }")
            } _: { deployment in
                let port = try Ports.free()
                let (one, two) = (deployment.instancePorts[0], deployment.instancePorts[1])
                let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map {
                    "    \($0)_temp_path \(deployment.folder)/nginx-\($0);\n"
                }
                // `ip_hash`, the page's, would send all clients of this machine to one instance.
                try deployment.write(
                    """
                    daemon off;
                    pid \(deployment.folder)/nginx.pid;
                    error_log stderr;
                    events { worker_connections 256; }
                    http {
                        access_log off;
                    \(temporary.joined())
                        upstream shop { server 127.0.0.1:\(one); server 127.0.0.1:\(two); }
                        upstream home-1 { server 127.0.0.1:\(one); server 127.0.0.1:\(two) backup; }
                        upstream home-2 { server 127.0.0.1:\(two); server 127.0.0.1:\(one) backup; }
                        map $cookie_HOME $old {
                            default shop; "127.0.0.1:\(one)" home-1; "127.0.0.1:\(two)" home-2;
                        }
                        map $cookie_UNSTICK $home { default $old; "~^web-1~" home-1; "~^web-2~" home-2; }
                        map $upstream_addr $served { "~(?<last>[0-9.:]+)$" $last; }
                        server {
                            listen 127.0.0.1:\(port);
                            location / {
                                proxy_pass http://$home;
                                proxy_set_header Host $host;
                                add_header Set-Cookie "HOME=$served; Path=/; HttpOnly" always;
                            }
                        }
                    }

                    """, to: "nginx.conf")
                try deployment.launch(
                    "nginx", "/usr/sbin/nginx", ["-p", deployment.folder, "-c", "\(deployment.folder)/nginx.conf"])
                try await deployment.changeBalancers(with: "http://127.0.0.1:\(port)", mark: "HOME")
            }
        }
    }
}

extension Deployment {
    /// Adds a line to the configuration, before anything starts.
    fileprivate func append(_ line: String) throws {
        let text = try String(contentsOfFile: configurationPath, encoding: .utf8)
        try write(text + line + "\n", to: "unstick.yaml")
    }

    /// Clients that begin at either balancer, then change it with every request.
    fileprivate func changeBalancers(with other: String, mark: String) async throws {
        _ = try await eventually("the other balancer to serve") {
            try await Browser.get("\(other)/healthz").status == 200 ? true : nil
        }
        var homes: Set<String> = []
        for number in 0..<12 {
            let ways = number % 2 == 0 ? [other, address] : [address, other]
            var visitor = Browser(ways[0])
            var home: String?
            for request in 0..<6 {
                visitor.address = ways[request % 2]
                let answer = try await visitor.post("/increment")
                try #require(answer.status == 200)
                #expect(answer.body == "\(request + 1)", "client \(number) by way of \(visitor.address)")
                home = home ?? answer.servedBy
                #expect(answer.servedBy == home)
                // Who began at Unstick is known to the other balancer by Unstick's cookie alone.
                if number % 2 == 0 { #expect(visitor.cookies[mark] != nil) }
            }
            #expect(visitor.cookies["UNSTICK"]?.hasPrefix("\(home ?? "?")~") == true)
            if let home { homes.insert(home) }
        }
        #expect(homes == Set(instances), "both instances have clients")
    }
}
