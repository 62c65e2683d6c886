-- Finds the peers of a test without DNS: each line of itest_peers_file is "domain address port".
-- The resolver of mod_s2s is looked up at each call, so replacing it here is enough.
local service = require "net.resolvers.service";
local manual = require "net.resolvers.manual";

local peers_file = module:get_option_string("itest_peers_file");
local original = service.new;

local function find(domain)
	local file = io.open(peers_file);
	if not file then return nil; end
	local address, port;
	for line in file:lines() do
		local d, a, p = line:match("^(%S+) (%S+) (%d+)$");
		if d == domain then address, port = a, tonumber(p); end
	end
	file:close();
	return address, port;
end

function service.new(hostname, service_name, conn_type, extra)
	local address, port = find(hostname);
	if not address then
		return original(hostname, service_name, conn_type, extra);
	end
	if service_name ~= "xmpp-server" then
		return manual.new({}, "tcp", extra); -- no direct TLS between peers
	end
	return manual.new({ { "tcp4", address, port, extra } }, "tcp", extra);
end

module:set_global();
