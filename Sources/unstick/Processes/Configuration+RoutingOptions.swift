import UnstickConfiguration
import UnstickCrypto
import UnstickProxy

extension Configuration {
    var affinityOptions: ProxyOptions.Affinity {
        var options = ProxyOptions.Affinity()
        options.method =
            switch affinity.method {
            case .cookie: .cookie
            case .ipHash: .ipHash
            case .urlParameter: .urlParameter
            }
        options.cookie = affinity.cookie
        options.parameter = affinity.parameter
        options.cookieAttributes.path = affinity.path
        options.cookieAttributes.domain = affinity.domain
        options.cookieAttributes.maxAgeSeconds = affinity.maxAge.map { Int($0.components.seconds) }
        options.cookieAttributes.sameSite =
            switch affinity.sameSite {
            case .strict: .strict
            case .lax: .lax
            case .none: .none
            }
        options.cookieAttributes.secure =
            switch affinity.secure {
            case .auto: .auto
            case .always: .always
            case .never: .never
            }
        options.adopt = affinity.adopt.map(\.options)
        return options
    }

    var balanceOptions: ProxyOptions.Balance {
        let method: ProxyOptions.Balance.Method =
            switch balance {
            case .leastConnections: .leastConnections
            case .roundRobin: .roundRobin
            case .weightedLeastConnections: .weightedLeastConnections
            case .weightedRoundRobin: .weightedRoundRobin
            case .random: .random
            case .powerOfTwo: .powerOfTwo
            case .consistent: .consistent
            }
        return ProxyOptions.Balance(method, slowStart: slowStart.time, slowStartFloor: slowStart.floor)
    }
}

extension Configuration.Adopted {
    fileprivate var options: AdoptedAffinity {
        let keyBytes = key?.bytes ?? []
        let format: AdoptedAffinity.Format =
            switch format {
            case .value: .value
            case .haproxyInsert: .haproxyInsert
            case .haproxyPrefix: .haproxyPrefix
            case .haproxyDynamic: .haproxyDynamic(key: keyBytes)
            case .route: .route
            case .nginxSticky: .nginxSticky
            case .nginxStickyModuleMD5: .nginxStickyModule(.md5)
            case .nginxStickyModuleSHA1: .nginxStickyModule(.sha1)
            case .nginxHash: .nginxHash(consistent: false)
            case .nginxHashConsistent: .nginxHash(consistent: true)
            case .ingressNginx: .ingressNginx(backend: backend ?? "")
            case .envoy: .envoy
            case .traefik: .traefik
            case .caddy: .caddy(secret: keyBytes)
            }
        return AdoptedAffinity(
            cookie: cookie, parameter: parameter, format: format,
            servers: servers.map { AdoptedAffinity.Server(name: $0.name, instance: $0.instance) })
    }
}
