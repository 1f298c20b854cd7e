# The same two scenarios. `input` is Envoy's CheckRequest, as OPA-Envoy hands it over.
package bench

default allow := false

http := input.attributes.request.http

source := input.attributes.source.principal

destination := input.attributes.destination.principal

path := split(http.path, "?")[0]

# The mesh call.
allow if {
	destination == "spiffe://prod.example.com/ns/ledger/sa/ledger-api"
	source == "spiffe://prod.example.com/ns/payments/sa/payment-api"
	http.method == "POST"
	path == "/internal/entries"
}

# The user: in Finance, with MFA, on a healthy device, through the dashboard.
allow if {
	destination == "spiffe://prod.example.com/ns/finance/sa/reports-api"
	source == "spiffe://prod.example.com/ns/finance/sa/dashboard-app"
	http.method == "GET"
	path == "/api/reports/quarterly"
	"mfa" in claims.amr
	user := data.users[claims.sub]
	"Finance" in user.groups
	not user.revoked
	device := data.devices[claims.device_id]
	device.managed
	device.compliant
	device.disk_encrypted
}

claims := payload if {
	startswith(http.headers.authorization, "Bearer ")
	token := substring(http.headers.authorization, 7, -1)
	[valid, _, payload] := io.jwt.decode_verify(token, {
		"cert": data.jwks,
		"alg": "ES256",
		"iss": "https://bench.cedar-pdp.invalid",
		"aud": "cedar-pdp-bench",
	})
	valid
}
