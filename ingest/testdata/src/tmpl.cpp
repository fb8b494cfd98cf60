// Leaks behind templates, operators, lambdas, constructors and a thread.
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace app {
template <typename K, typename V> struct cache {
	std::map<K, std::vector<V> *> slots;
	std::vector<V> *operator()(const K &k) { return slots[k] = new std::vector<V>(16); }
	std::vector<V> &operator[](const K &k) { return *(*this)(k); }
	cache &operator==(const cache &) { new long[5]; return *this; }
};
struct conn {
	std::string name;
	char *buffer;
	explicit conn(const char *n) : name(n), buffer(new char[256]) {}
	~conn() {} // forgets buffer
};
}

int main()
{
	{
		app::cache<std::string, double> c;
		c["one"].push_back(1);
		c("two");
		(void)(c == c);
	}
	{ app::conn a("a rather long connection name, not kept inline"); }
	std::function<void(int)> f = [](int n) { new std::unique_ptr<int>(new int(n)); };
	f(3);
	std::thread t([] { app::conn *leaked = new app::conn("thread"); (void)leaked; });
	t.join();
}
