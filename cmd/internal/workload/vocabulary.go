package workload

import "strings"

// Slots is the number of slots of line numbers: line n is of the service of slot
// n modulo Slots. A sender with a multiple of Slots containers has in each
// container the lines of one service.
const Slots = 16

// services by slot: busy ones have two.
var services = [Slots]string{
	"storefront", "order", "catalog", "search", "member", "cart", "payment", "stock",
	"storefront", "order", "catalog", "search", "coupon", "shipping", "mail", "review",
}

// Service returns the service of line n, which is not negative.
func Service(n int64) string { return services[n%Slots] }

// loggers by slot: three of the service's own, besides those all have.
var loggers = func() (all [Slots][]string) {
	layers := []string{"web.%Controller", "domain.%Service", "infra.%Repository"}
	for slot, service := range services {
		for _, layer := range layers {
			title := strings.ToUpper(service[:1]) + service[1:]
			all[slot] = append(all[slot], "jp.example.shop."+service+"."+strings.Replace(layer, "%", title, 1))
		}
		all[slot] = append(all[slot],
			"org.springframework.web.servlet.DispatcherServlet", "com.zaxxer.hikari.pool.HikariPool",
			"org.apache.kafka.clients.consumer.internals.ConsumerCoordinator", "jp.example.platform.http.RestClient")
	}
	return all
}()

// messages are the texts of app lines; the names in braces are those of fills. They
// have neither quotes nor backslashes, because a sized line may cut them anywhere.
var messages = parseAll(`
Order {order} accepted for member {user}: {n} items, total {yen} JPY, paid by {pay}
Order {order} moved from {state} to {state} by {actor}
Reserved {n} of SKU {sku} at warehouse {wh} for order {order}, {stock} left
Released reservation {hex8} of SKU {sku} at {wh} after {sec} s
Payment {hex12} authorised: gateway={gw} amount={yen} approval={digits6} elapsed={ms}ms
Payment {hex12} declined by {gw}: code=G{digits3} reason={reason}
Capture of payment {hex12} scheduled at {clock}, attempt {n} of 5
Refund {hex8} of {yen} JPY for order {order} requested by {actor}: {reason}
Cart {hex12} of member {user} updated: {n} lines, subtotal {yen}, coupon {coupon}
Merged guest cart {hex12} into cart {hex12}, {n} lines conflicted
Cart {hex12} expired after {sec} s without a visit
Search '{query}' found {stock} products in {ms} ms, page {n}, facets {facet}, sort {sort}
Search index {index} refreshed: {stock} documents, {kb} KB, generation {digits6}
Suggestion for '{query}' took {ms} ms, {n} candidates from {index}
Product {sku} read through cache {cache}: hit={bool} age={sec}s size={kb}KB
Price of {sku} changed from {yen} to {yen} JPY, valid from {clock}, approved by {actor}
Category {facet} rebuilt with {stock} products in {ms} ms by job {hex8}
Image {hex12} of {sku} scaled to {n}0x{n}0 in {ms} ms, {kb} KB written
Member {user} signed in from {ip} with {login}, session {hex12}, risk {pct}
Member {user} changed {field}; confirmation {hex8} sent to {mail}
Password of {user} rejected {n} times from {ip}, next try in {sec} s
Points of member {user}: {stock} granted for order {order}, balance {yen}, expiring {clock}
Coupon {coupon} applied to order {order}: {yen} JPY off, {n} uses left
Coupon {coupon} refused for member {user}: {reason}
Campaign {hex8} matched {stock} members in {ms} ms, segment {facet}
Shipment {digits12} of order {order} handed to {carrier}: {n} parcels, {kb}00 g, due {clock}
Carrier {carrier} reports {state} for shipment {digits12} at {wh}
Label of shipment {digits12} printed on {host} in {ms} ms, template {facet}
Mail {hex12} of template {tpl} queued for {mail}, priority {n}
Mail {hex12} delivered to {mail} after {ms} ms by {host}, message id {hex16}
Mail to {mail} bounced with {status}: {reason}, suppressed for {sec} s
Review {hex8} of {sku} by {user}: {n} stars, {stock} characters, language {lang}, score {pct}
Review {hex8} held back: {reason}, moderator {actor} informed
{method} {path} answered {status} in {ms} ms, {bytes} bytes to {ip}
{method} {path} for {user} took {ms} ms: db {ms} ms in {n} queries, remote {ms} ms
Completed {status} from {path} handler {facet} in {ms} ms
Calling {method} http://{host}{path} with timeout {ms} ms, trace {hex8}
http://{host}{path} answered {status} after {ms} ms, {bytes} bytes, try {n}
Circuit {gw} is {circuit}: {pct} of {stock} calls failed, slow {pct}
Retrying {method} {path} in {ms} ms after {status}, attempt {n}
Pool {pool}: total={n} active={n} idle={n} waiting={n} oldest={ms}ms
Connection {hex8} of pool {pool} leaked by thread {n}, taken {ms} ms ago at {clock}
Connection {hex8} added to pool {pool} in {ms} ms from {host}
Query on {table} took {ms} ms and gave {stock} rows, plan {hex8}
Batch of {n} rows into {table} committed in {ms} ms, tx {digits12}
Deadlock on {table} while updating {sku}, transaction {digits12} rolled back after {ms} ms
Consumed offset {digits12} of {topic}-{n}: key={order} lag={stock} in {ms} ms
Published {event} {hex16} to {topic}-{n} at offset {digits12}
Group {topic} rebalanced: generation {digits6}, {n} partitions, member {hex16}
Heartbeat to coordinator {host} expired after {ms} ms, rejoining group {topic}
Feature {facet} is {bool} for member {user}, bucket {pct}, rule {hex8}
Cache {cache} evicted {stock} entries, {kb} KB, hit rate {pct}, oldest {sec} s
Job {job} finished in {ms} ms: {stock} read, {stock} written, {n} skipped
Job {job} skipped row {digits6}: {reason} in column {field}
File {hex8}.csv of {kb} KB from {carrier} taken in: {stock} rows, {n} faults
Token of client {host} refreshed, expires in {sec} s, key {hex8}
Request body of {path} has unknown field {field}, ignored for client {hex8}
Rate limit of {ip} reached: {stock} calls to {path} within {sec} s
Session {hex12} of {user} moved from {host} to {host} in {ms} ms
Locale of {user} is {lang}, currency JPY, tax {pct}, address in {city}
`)

// rawMessages are lines that are no JSON; each begins with the mark.
var rawMessages = parseAll(`
{ip} - {user} [{clock}] "{method} {path} HTTP/1.1" {status} {bytes} "-" "{agent}" {ms}
{ip} - - [{clock}] "GET /actuator/health HTTP/1.1" 200 {n} "-" "ELB-HealthChecker/2.0" 0.00{n}
[{sec}.{digits3}s][info][gc] GC({stock}) Pause Young (Normal) (G1 Evacuation Pause) {stock}M->{n}M({stock}M) {ms}.{digits3}ms
[{sec}.{digits3}s][warning][safepoint] reached after {ms} ms, {n} threads, cleanup {digits6} ns
Exception in thread "worker-{n}" java.lang.IllegalStateException: order {order} is {state}, not {state}
	at jp.example.shop.{facet}.Handler$$Lambda/{hex16}.apply(Unknown Source) [{hex8}]
WARNING: An illegal reflective access operation has occurred, module {facet}, {hex8}
Mail für {mail}: Größe {kb} KB, Anhänge {n}, Kennung {hex8}
注文 {order} を {city} の倉庫 {wh} から発送しました（{carrier} {digits12}）
{clock} {host} sshd[{digits6}]: Connection closed by {ip} port {stock} [preauth]
`)

var exceptions = parseAll(`
java.net.SocketTimeoutException: Read timed out after {ms} ms: http://{host}{path}
org.springframework.dao.DeadlockLoserDataAccessException: could not update {table} [{sku}]; tx {digits12}
jp.example.shop.order.OutOfStockException: {sku} at {wh}: asked {n}, have {stock}
java.lang.IllegalArgumentException: {field} of order {order} must not be negative: -{yen}
com.fasterxml.jackson.core.JsonParseException: Unexpected character at line {n}, column {stock} of {path}
org.apache.kafka.common.errors.TimeoutException: {topic}-{n}: {sec} record(s) expired, {ms} ms since batch creation
`)

var frames = strings.Fields(`
jp.example.shop.order.domain.OrderService.place(OrderService.java:%)
jp.example.shop.order.web.OrderController.create(OrderController.java:%)
jp.example.shop.stock.domain.Reservation.take(Reservation.java:%)
jp.example.shop.payment.infra.GatewayClient.authorise(GatewayClient.java:%)
jp.example.platform.http.RestClient.exchange(RestClient.java:%)
jp.example.platform.audit.AuditFilter.doFilterInternal(AuditFilter.java:%)
jp.example.platform.tx.Transactions.within(Transactions.java:%)
org.springframework.aop.framework.ReflectiveMethodInvocation.proceed(ReflectiveMethodInvocation.java:%)
org.springframework.transaction.interceptor.TransactionInterceptor.invoke(TransactionInterceptor.java:%)
org.springframework.web.method.support.InvocableHandlerMethod.doInvoke(InvocableHandlerMethod.java:%)
org.springframework.web.servlet.DispatcherServlet.doDispatch(DispatcherServlet.java:%)
org.springframework.web.filter.OncePerRequestFilter.doFilter(OncePerRequestFilter.java:%)
org.apache.catalina.core.ApplicationFilterChain.doFilter(ApplicationFilterChain.java:%)
org.apache.catalina.core.StandardWrapperValve.invoke(StandardWrapperValve.java:%)
org.apache.tomcat.util.net.NioEndpoint$SocketProcessor.doRun(NioEndpoint.java:%)
com.zaxxer.hikari.pool.ProxyPreparedStatement.executeUpdate(ProxyPreparedStatement.java:%)
com.mysql.cj.jdbc.ClientPreparedStatement.executeInternal(ClientPreparedStatement.java:%)
org.hibernate.engine.jdbc.internal.ResultSetReturnImpl.extract(ResultSetReturnImpl.java:%)
java.base/java.util.concurrent.ThreadPoolExecutor.runWorker(ThreadPoolExecutor.java:%)
java.base/jdk.internal.reflect.DirectMethodHandleAccessor.invoke(DirectMethodHandleAccessor.java:%)
`)

// routes are method and path of requests.
var routes = parseAll(`
GET /
GET /items/{sku}
GET /items/{sku}/reviews
GET /items/{sku}/stock
GET /items/{sku}/related
GET /items/{sku}/images/{digits3}
GET /categories/{facet}
GET /categories/{facet}/items
GET /search
GET /search/suggest
GET /api/v1/cart
POST /api/v1/cart/items
PUT /api/v1/cart/items/{sku}
DELETE /api/v1/cart/items/{sku}
POST /api/v1/cart/coupons
DELETE /api/v1/cart/coupons/{coupon}
POST /api/v1/checkout
GET /api/v1/checkout/{hex12}
PUT /api/v1/checkout/{hex12}/address
PUT /api/v1/checkout/{hex12}/payment
POST /api/v1/checkout/{hex12}/confirm
POST /api/v2/orders
GET /api/v2/orders/{order}
GET /api/v2/orders/{order}/items
GET /api/v2/orders/{order}/invoice
POST /api/v2/orders/{order}/cancel
POST /api/v2/orders/{order}/returns
GET /api/v2/orders/{order}/shipments
GET /api/v2/orders/{order}/shipments/{digits12}
GET /api/v1/members/{user}
PUT /api/v1/members/{user}
GET /api/v1/members/{user}/orders
GET /api/v1/members/{user}/points
GET /api/v1/members/{user}/coupons
GET /api/v1/members/{user}/addresses
POST /api/v1/members/{user}/addresses
PUT /api/v1/members/{user}/addresses/{n}
DELETE /api/v1/members/{user}/addresses/{n}
GET /api/v1/members/{user}/favourites
PUT /api/v1/members/{user}/favourites/{sku}
POST /api/v1/sessions
DELETE /api/v1/sessions/{hex12}
POST /api/v1/passwords/reset
POST /api/v1/payments
GET /api/v1/payments/{hex12}
POST /api/v1/payments/{hex12}/capture
POST /api/v1/payments/{hex12}/refunds
POST /api/v1/payments/callback/{gw}
GET /api/v1/stocks/{sku}
POST /api/v1/stocks/{sku}/reservations
DELETE /api/v1/stocks/reservations/{hex8}
POST /api/v1/shipments
PUT /api/v1/shipments/{digits12}/state
POST /api/v1/reviews
GET /api/v1/reviews/{hex8}
PUT /api/v1/reviews/{hex8}/votes
GET /admin/orders
GET /admin/orders/{order}/history
POST /admin/campaigns
GET /admin/reports/{index}/{digits6}
`)

var queries = parseAll(`
SELECT o.*, i.sku, i.amount FROM orders o JOIN order_items i ON i.order_id = o.id WHERE o.member_id = '{user}' AND o.state = '{state}' ORDER BY o.created_at DESC LIMIT {n}
SELECT s.sku, s.amount - s.reserved FROM {table} s WHERE s.warehouse = '{wh}' AND s.sku IN ('{sku}', '{sku}', '{sku}') FOR UPDATE
UPDATE {table} SET state = '{state}', changed_by = '{actor}', version = {digits6} WHERE id = {order} AND version = {digits6}
SELECT count(*), sum(total) FROM orders WHERE created_at >= '{clock}' AND shop = '{city}' AND state <> '{state}'
INSERT INTO {table} (id, member_id, sku, amount, price) VALUES ({digits12}, '{user}', '{sku}', {n}, {yen})
SELECT m.id, m.rank, sum(p.points) FROM members m JOIN points p ON p.member_id = m.id WHERE p.expires_at < '{clock}' AND m.id > '{user}' GROUP BY m.id, m.rank LIMIT {stock}
`)

var agents = strings.Split(strings.TrimSpace(`
Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1
Mozilla/5.0 (iPhone; CPU iPhone OS 17_4_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 Line/14.5.0
Mozilla/5.0 (Linux; Android 15; Pixel 8a) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Mobile Safari/537.36
Mozilla/5.0 (Linux; Android 14; SC-53C) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/27.0 Chrome/125.0.0.0 Mobile Safari/537.36
Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Safari/537.36
Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36 Edg/138.0.0.0
Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:141.0) Gecko/20100101 Firefox/141.0
Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15
Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)
ShopApp/7.12.1 (iOS 18.6; iPhone16,1) CFNetwork/1568.300.101
ShopApp/7.11.0 (Android 14; SO-51D) okhttp/4.12.0
okhttp/4.12.0
`), "\n")

// words are those of people: titles, notes, reviews.
var words = strings.Fields(`
order cart member stock price coupon delivery tomorrow morning evening gift wrapping please leave parcel with neighbour door bell broken
blue red black white navy olive beige cotton linen wool leather small medium large slim wide long short sleeve collar pocket button zip
light warm soft heavy thin thick good bad great nice quick slow late early cheap fair worth twice again never always colour size fits
returned exchanged refund asked called answered thanks sorry birthday mother father friend summer winter spring autumn sale limited
edition restock reserved season outlet sample set pair box pack charge battery cable case cover film stand desk chair lamp shelf table
注文 配送 商品 在庫 会員 価格 返品 交換 色 サイズ 綿 革 黒 白 紺 長袖 半袖 贈り物 包装 午前 午後 明日 至急 玄関 宅配 玄関前 良い 軽い 暖かい 送料 無料 限定 再入荷 夏 冬 春 秋
kitchen knife pan pot kettle plate bowl glass spoon fork towel soap brush mirror clock frame vase candle plant seed soil garden hose
phone tablet camera lens tripod speaker headset keyboard mouse monitor printer paper ink pen note book map guide novel comic music
shirt jacket coat trousers skirt dress socks shoes boots hat scarf gloves belt bag wallet watch ring pearl silver gold stone rope tent
`)

var (
	categories = strings.Fields("tops shoes kitchen outdoor kids books audio beauty food garden toys sports office pets health music travel art")
	warehouses = strings.Fields("TYO1 OSA2 NGO1 FUK1 SPK1 TYO3")
	pools      = strings.Fields("shop-rw shop-ro member-rw report-ro")
)
